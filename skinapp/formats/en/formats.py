"""Dates and times as the pages write them: year, month, day, and a clock of 24 hours.

Django's own English is American; the admin panel and the browser's fields take it from here.
"""

DATE_FORMAT = SHORT_DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "Y-m-d H:i"
YEAR_MONTH_FORMAT = "Y-m"
MONTH_DAY_FORMAT = "m-d"
# Monday.
FIRST_DAY_OF_WEEK = 1
