"""What leaves the clinic in other systems' forms, and what comes in from them.

``facts`` says what a report holds, ``report`` reads it for a person, and ``letter``, ``fhir`` and
``dicom_out`` write it down; none of these asks the database. ``dicom_file`` is loaded by the
decoding process as well and knows nothing of Django.
"""
