"""Settings: how much is taken in, and how analyses are done; part of ``base``."""

from skinapp.settings.env import env

# --- Intake limits (shown on the upload form) --------------------------------------------------

INTAKE_MAX_BYTES = env.int("INTAKE_MAX_BYTES", default=25 * 1024 * 1024)
INTAKE_MAX_PIXELS = env.int("INTAKE_MAX_PIXELS", default=64_000_000)
INTAKE_MIN_SIDE = env.int("INTAKE_MIN_SIDE", default=64)
INTAKE_MAX_SIDE = env.int("INTAKE_MAX_SIDE", default=20_000)
INTAKE_MAX_FILES = env.int("INTAKE_MAX_FILES", default=12)
# Pictures are decoded in processes of their own (classifier/intake/decoders.py): so many for each
# web process, so much memory beyond what they hold empty, so much time for one picture
# (python -m bench decoders measures what pictures need).
INTAKE_DECODERS = env.int("INTAKE_DECODERS", default=2)
INTAKE_DECODE_MEMORY = env.int("INTAKE_DECODE_MEMORY", default=1024**3)
INTAKE_DECODE_SECONDS = env.int("INTAKE_DECODE_SECONDS", default=20)
# Below the soft limit of the task that imports, which would end the task instead of the decoder.
INTAKE_DECODE_WALL_SECONDS = env.float("INTAKE_DECODE_WALL_SECONDS", default=90)
# Then it makes room for a fresh one, in case a decoder loses memory.
INTAKE_DECODER_PICTURES = env.int("INTAKE_DECODER_PICTURES", default=1_000)
# One request may carry the allowed number of images; the body is refused by its declared length.
REQUEST_MAX_BYTES = env.int("REQUEST_MAX_BYTES", default=INTAKE_MAX_BYTES * 4 + 1024 * 1024)
# What one person may send: far above what anybody photographs, and below what fills a disk.
UPLOAD_REQUESTS_PER_MINUTE = env.int("UPLOAD_REQUESTS_PER_MINUTE", default=60)
UPLOAD_BYTES_PER_HOUR = env.int("UPLOAD_BYTES_PER_HOUR", default=4 * 1024**3)
# What one token may ask; a program that asks every second whether an answer is there needs 60.
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=300)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
# Above the form's own limit, so that one file too many gets the form's sentence and not a bare 400.
DATA_UPLOAD_MAX_NUMBER_FILES = INTAKE_MAX_FILES + 100
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200

# --- The analysis job --------------------------------------------------------------------------

ANALYSIS_BATCH_SIZE = env.int("ANALYSIS_BATCH_SIZE", default=32)
# So many cores compute in one worker; 0 for all that there are.
ANALYSIS_CORES = env.int("ANALYSIS_CORES", default=0)
ANALYSIS_LEASE_SECONDS = env.int("ANALYSIS_LEASE_SECONDS", default=150)
ANALYSIS_MAX_ATTEMPTS = env.int("ANALYSIS_MAX_ATTEMPTS", default=3)
# Waiting time before the second, third, ... attempt after a transient fault, in seconds.
ANALYSIS_BACKOFF_SECONDS = env.list("ANALYSIS_BACKOFF_SECONDS", cast=int, default=[2, 10, 60])
# The oldest waiting analysis may be this old before /readyz and the pages raise the alarm.
ANALYSIS_QUEUE_ALARM_SECONDS = env.int("ANALYSIS_QUEUE_ALARM_SECONDS", default=300)
# From this hour on (by TIME_ZONE) every file, row, state and release is checked, once a day ...
INTEGRITY_HOUR = env.int("INTEGRITY_HOUR", default=2)
# ... and files that no row names are removed, but for those of uploads that may be under way.
INTEGRITY_GRACE_HOURS = env.float("INTEGRITY_GRACE_HOURS", default=24.0)
# So many past cases may be judged again by another network at a time.
RERUN_MOST_CASES = env.int("RERUN_MOST_CASES", default=20_000)
# Figures of a clinic that took so many seconds to count are kept for so many.
FIGURES_SLOW_SECONDS = env.float("FIGURES_SLOW_SECONDS", default=0.25)
FIGURES_KEPT_SECONDS = env.int("FIGURES_KEPT_SECONDS", default=600)
