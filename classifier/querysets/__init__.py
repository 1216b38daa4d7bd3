"""Querysets: the unit of permission.

``visible_to(user)`` says what a person may see, ``writable_by(user)`` what a person may change;
every yes-or-no check is a question to one of them, so a list and a single page cannot disagree.
"""
