"""The statements by which :mod:`bench.history_seed` fills a database.

First every analysis is decided on in one temporary table, ``seed``; every table is then a
projection of it. ``n`` counts rows from one, the newest has the highest number.
"""

# ruff: noqa: S608 - every statement is put together from our own words and numbers

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench.history_names import COMMON, FIRST_NAMES, HEADS, MIDDLES, TAILS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MEMBERS = "CASE WHEN clinic = 0 THEN 40 ELSE 6 END"


def drawn(number: str, salt: int, below: str | int) -> str:
    """Return SQL that draws 0 <= x < ``below`` for the row of a number, the same each time."""
    return f"((hashint8extended({number}, {salt}) & 2147483647) % ({below}))"


def key(kind: str, number: str) -> str:
    """Return SQL of the UUID of a row; as random as a real one, which its index feels."""
    return f"md5('{kind}' || {number})::uuid"


def statements(  # noqa: PLR0913 - what a history is made of
    *,
    predictions: int,
    patients: int,
    analyses: int,
    clinics: int,
    people: Mapping[str, Sequence[int]],
    labels: Sequence[Mapping[str, Any]],
    versions: Sequence[str],
    maps: Sequence[Mapping[str, Any]],
    years: int,
    unjudged_rank: int,
) -> Iterator[tuple[str, str]]:
    """Yield (name, statement) in order; see :func:`bench.history_seed.seed`."""
    yield "clinics and people", _clinics(clinics)
    yield "clinics and people", _members(people)
    yield "models", _versions(versions)
    yield "models", _lookups(labels, maps)
    yield "patients", _patients(patients, clinics)
    yield "decided", _decided(predictions, analyses, patients, years, len(versions), unjudged_rank)
    yield "patients", _PATIENT_ROWS
    yield "lesions", _LESION_ROWS
    yield "images", _IMAGE_ROWS
    yield "predictions", _PREDICTION_ROWS.format(maps=len(maps))
    yield "analyses", _ANALYSIS_ROWS
    yield "transitions", _TRANSITION_ROWS
    yield "readings", _READING_ROWS
    yield "reviews", _REVIEW_ROWS
    yield "consents", _CONSENT_ROWS
    yield "audit events", _AUDIT_ROWS
    yield "emergency access", _EMERGENCY_ROW
    yield "decided", "DROP TABLE seed, seed_patient, seed_label, seed_map"


def _array(words: Sequence[str]) -> str:
    return "ARRAY['" + "','".join(words) + "']"


def _json(value: object) -> str:
    return "'" + json.dumps(value).replace("'", "''") + "'::jsonb"


def _clinics(clinics: int) -> str:
    return f"""
    INSERT INTO classifier_clinic (id, name, blinded_first, urgent_first, second_factor_required,
      created_at)
    SELECT {key("c", "n")}, 'Clinic ' || lpad(n::text, 2, '0'), n % 4 <> 3, n % 4 <> 2, false,
      now() - interval '9 years'
    FROM generate_series(0, {clinics - 1}) AS n;
    CREATE TEMP TABLE seed_member AS
    SELECT clinic, m, {key("u", "clinic || '-' || m")} AS id
    FROM generate_series(0, {clinics - 1}) AS clinic, generate_series(1, 40) AS m
    WHERE m <= {_MEMBERS};
    INSERT INTO classifier_user (id, password, is_superuser, first_name, last_name, is_staff,
      is_active, date_joined, email)
    SELECT id, '!', false, ({_array(FIRST_NAMES)})[1 + (clinic * 7 + m) % {len(FIRST_NAMES)}],
      ({_array(HEADS)})[1 + (clinic * 5 + m * 3) % {len(HEADS)}] || 'mann', false, true, now(),
      'member' || m || '@clinic' || clinic || '.example'
    FROM seed_member;
    INSERT INTO classifier_membership (role, created_at, clinic_id, user_id)
    SELECT CASE WHEN m = 1 THEN 'administrator' ELSE 'clinician' END, now(), {key("c", "clinic")},
      id
    FROM seed_member;
    """


def _members(people: Mapping[str, Sequence[int]]) -> str:
    lines = []
    for who, places in people.items():
        root = str(who == "root").lower()
        lines.append(
            "INSERT INTO classifier_user (id, password, is_superuser, first_name, last_name, "
            f"is_staff, is_active, date_joined, email) VALUES ({key('who', repr(who))}, '!', "
            f"{root}, '{who.title()}', 'Bench', {root}, true, now(), '{who}@bench.example');"
        )
        lines += [
            "INSERT INTO classifier_membership (role, created_at, clinic_id, user_id) VALUES "
            f"('administrator', now(), {key('c', str(place))}, {key('who', repr(who))});"
            for place in places
        ]
    return "\n".join(lines)


def _versions(versions: Sequence[str]) -> str:
    rows = ", ".join(
        f"({key('v', repr(f'{name}{place}'))}, '{name}', '{version}', "
        f"md5('{name}{version}') || md5('{version}'), '{{}}', '{{}}', "
        f"{str(place == len(versions) - 1).lower()}, now())"
        for name in ("isic9", "clinical5")
        for place, version in enumerate(versions)
    )
    return (
        "INSERT INTO classifier_modelversion (id, label_set, version, artefact_sha256, manifest, "
        f"metrics, active, registered_at) VALUES {rows}"
    )


def _lookups(labels: Sequence[Mapping[str, Any]], maps: Sequence[Mapping[str, Any]]) -> str:
    labelled = ", ".join(
        f"('{row['label_set']}', '{row['label']}', {row['first']}, {row['last']}, "
        f"'{row['triage_group']}', {row['rank']}, {_json(row['probabilities'])})"
        for row in labels
    )
    mapped = ", ".join(f"({number}, {_json(found)})" for number, found in enumerate(maps))
    return f"""
    CREATE TEMP TABLE seed_label (label_set text, label text, first int, last int,
      triage_group text, rank int, probabilities jsonb);
    INSERT INTO seed_label VALUES {labelled};
    CREATE TEMP TABLE seed_map (number int PRIMARY KEY, maps jsonb);
    INSERT INTO seed_map VALUES {mapped};
    """


def _patients(patients: int, clinics: int) -> str:
    in_thousand = drawn("n", 1, 1000)
    return f"""
    CREATE TEMP TABLE seed_patient AS
    SELECT n, {key("p", "n")} AS id, clinic, {key("c", "clinic")} AS clinic_id,
      {key("u", f"clinic || '-' || 1 + {drawn('n', 2, _MEMBERS)}")} AS member
    FROM (
      SELECT n, CASE
        WHEN n % {max(1, patients // 10)} = 7 THEN {clinics - 1}
        WHEN {in_thousand} < 900 THEN 0
        WHEN {in_thousand} < 980 THEN 1 + {drawn("n", 3, 4)}
        ELSE 5 + {drawn("n", 3, clinics - 6)} END::int AS clinic
      FROM generate_series(1, {patients}) AS n
    ) AS placed;
    ALTER TABLE seed_patient ADD PRIMARY KEY (n);
    ANALYZE seed_patient;
    """


def _decided(
    predictions: int, analyses: int, patients: int, years: int, versions: int, unjudged_rank: int
) -> str:
    # Most go to anybody; some people are seen for years, and one of them very often.
    whose = f"""CASE WHEN n <= {min(300, predictions // 10)} THEN 1
      WHEN n % 50 = 0 THEN 1 + {drawn("n", 11, max(1, patients // 500))}
      ELSE 1 + {drawn("n", 12, patients)} END"""
    # What waits is new; what has no answer is strewn over the years.
    waiting = min(40, max(4, predictions // 1000))
    backlog = predictions // 100
    return f"""
    CREATE TEMP TABLE seed AS
    SELECT d.*, p.id AS patient_id, p.clinic_id, p.clinic, {key("i", "d.n")} AS image_id,
      {key("a", "d.n")} AS analysis_id, {key("r", "d.n")} AS prediction_id,
      {key("u", f"p.clinic || '-' || 1 + {drawn('d.n', 21, _MEMBERS)}")} AS requester,
      {key("u", f"p.clinic || '-' || 1 + {drawn('d.n', 22, _MEMBERS)}")} AS reviewer,
      l.label, l.triage_group, l.probabilities,
      CASE WHEN d.decision = 'answer' THEN l.rank ELSE LEAST(l.rank, {unjudged_rank}) END AS rank,
      {key("v", "d.label_set || d.version")} AS version_id
    FROM (
      SELECT n, {whose} AS patient,
        now() - interval '{years} years' * CASE WHEN n <= {predictions}
          THEN 1 - n::float / {predictions + 1}
          WHEN n > {analyses - waiting} THEN 0
          ELSE 1 - (n - {predictions})::float / {analyses - predictions} END
          - interval '1 second' * (n % 60) AS at,
        CASE WHEN {drawn("n", 13, 10)} < 7 THEN 'dermoscopy' ELSE 'clinical' END AS modality,
        CASE WHEN {drawn("n", 13, 10)} < 7 THEN 'isic9' ELSE 'clinical5' END AS label_set,
        CASE WHEN n > {predictions} THEN '' WHEN {drawn("n", 14, 100)} < 86 THEN 'answer'
          WHEN {drawn("n", 14, 100)} < 95 THEN 'cannot_say' ELSE 'rejected' END AS decision,
        CASE WHEN n > {analyses - waiting} THEN CASE WHEN n % 4 = 0 THEN 'running' ELSE 'queued' END
          WHEN n > {predictions} THEN CASE WHEN n % 3 = 0 THEN 'cancelled' ELSE 'failed' END
          WHEN {drawn("n", 14, 100)} >= 95 THEN 'rejected' ELSE 'succeeded' END AS state,
        CASE WHEN n > {predictions - backlog} OR {drawn("n", 15, 1000)} < 2 THEN 'pending'
          WHEN {drawn("n", 15, 1000)} < 7 THEN 'deferred' ELSE 'reviewed' END AS review,
        {drawn("n", 16, 100)} AS place,
        LEAST({versions - 1}, n * {versions} / {predictions}) AS version
      FROM generate_series(1::bigint, {analyses}) AS n
    ) AS d
    JOIN seed_patient AS p ON p.n = d.patient
    JOIN seed_label AS l ON l.label_set = d.label_set AND d.place BETWEEN l.first AND l.last;
    ANALYZE seed;
    """


_PATIENT_ROWS = f"""
INSERT INTO classifier_patient (id, record_number, name, date_of_birth, sex, skin_type, notes,
  archived, created_at, updated_at, clinic_id, created_by_id)
SELECT id, 'MRN-' || lpad(n::text, 8, '0'),
  ({_array(FIRST_NAMES)})[1 + {drawn("n", 31, len(FIRST_NAMES))}] || ' ' ||
  CASE WHEN {drawn("n", 32, 10)} < 3
    THEN ({_array(COMMON)})[1 + {drawn("n", 33, len(COMMON))}]
    ELSE ({_array(HEADS)})[1 + {drawn("n", 33, len(HEADS))}]
      || ({_array(MIDDLES)})[1 + {drawn("n", 34, len(MIDDLES))}]
      || ({_array(TAILS)})[1 + {drawn("n", 35, len(TAILS))}] END,
  date '1930-01-01' + {drawn("n", 36, 30_000)}::int, (ARRAY['female','male','unknown'])[1 + n % 3],
  (ARRAY['I','II','III','IV','V','VI','unknown'])[1 + n % 7],
  CASE WHEN n % 4 = 0 THEN 'Had a melanoma of the back removed elsewhere.' ELSE '' END,
  {drawn("n", 37, 100)} = 0, seen.at, seen.at, clinic_id, member
FROM seed_patient
CROSS JOIN LATERAL (SELECT now() - interval '8 years' * (1 - n::float
  / (SELECT count(*) FROM seed_patient)) AS at) AS seen
"""
_LESION_ROWS = f"""
INSERT INTO classifier_lesion (id, label, body_site, created_at, clinic_id, created_by_id,
  patient_id)
SELECT {key("l", "n || '-' || m")}, 'Spot ' || m,
  (ARRAY['back','face','forearm','chest','thigh'])[1 + (n + m) % 5], now() - interval '7 years',
  clinic_id, member, id
FROM seed_patient, generate_series(1, 3) AS m WHERE m <= 1 + n % 3
"""
_IMAGE_ROWS = f"""
INSERT INTO classifier_image (id, modality, taken_at, created_at, original_sha256, original_format,
  byte_size, width, height, display, thumbnail, network_source, network_source_sha256,
  display_sha256, thumbnail_sha256, clinic_id, uploaded_by_id, lesion_id, patient_id)
SELECT image_id, modality, CASE WHEN n % 3 = 0 THEN at - interval '1 hour' END, at,
  md5('o' || n) || md5('s' || n), 'JPEG', 900000 + n % 100000, 1200, 900,
  'images/' || image_id || '/display.jpg', 'images/' || image_id || '/thumbnail.jpg',
  'images/' || image_id || '/source.png', md5('x' || n) || md5('y' || n),
  md5('d' || n) || md5('e' || n), md5('t' || n) || md5('h' || n), clinic_id, requester,
  CASE WHEN n % 5 < 4 THEN {key("l", "patient || '-' || 1 + n % (1 + patient % 3)")} END, patient_id
FROM seed ORDER BY at
"""
_PREDICTION_ROWS = """
INSERT INTO classifier_prediction (id, decision, reason_code, reason, probabilities, top_label,
  confidence, triage_group, evidence_maps, engine, artefact_sha256, input_sha256, attempt,
  timings_ms, created_at, clinic_id, image_id, model_version_id)
SELECT prediction_id, decision, CASE WHEN decision = 'answer' THEN '' ELSE 'too_blurred' END,
  CASE WHEN decision = 'answer' THEN '' ELSE 'The picture is too blurred for an answer.' END,
  probabilities, label, 0.8, triage_group, maps, 'litert', md5(version_id::text) || md5('a'),
  md5('x' || n) || md5('y' || n), 1, '{{"queue": 40.0, "read": 5.0, "network": 13.0}}',
  at + interval '2 seconds', clinic_id, image_id, version_id
FROM seed JOIN seed_map ON number = n % {maps} WHERE decision <> '' ORDER BY at
"""
_ANALYSIS_ROWS = """
INSERT INTO classifier_analysis (id, label_set, created_at, state, attempt, attempts_forgiven,
  not_before, lease_until, worker, started_at, finished_at, failure_code, failure_reference,
  modality, decision, top_label, triage_rank, review_state, review_count, last_reviewer_id,
  requested_by_id, clinic_id, image_id, model_version_id, patient_id, prediction_id)
SELECT analysis_id, label_set, at, state, CASE WHEN state IN ('queued', 'cancelled') THEN 0
    WHEN state = 'failed' THEN 3 ELSE 1 END, 0, at,
  CASE WHEN state = 'running' THEN now() + interval '1 day' END, 'bench:1',
  CASE WHEN state NOT IN ('queued', 'cancelled') THEN at + interval '1 second' END,
  CASE WHEN state NOT IN ('queued', 'running') THEN at + interval '2 seconds' END,
  CASE WHEN state = 'failed' THEN 'network_error' ELSE '' END,
  CASE WHEN state = 'failed' THEN left(md5('f' || n), 6) ELSE '' END, modality, decision,
  CASE WHEN decision <> '' THEN label ELSE '' END, CASE WHEN decision <> '' THEN rank ELSE 99 END,
  CASE WHEN decision <> '' THEN review ELSE 'pending' END,
  CASE WHEN decision <> '' AND review <> 'pending' THEN 1 ELSE 0 END,
  CASE WHEN decision <> '' AND review <> 'pending' THEN reviewer END, requester, clinic_id,
  image_id, CASE WHEN decision <> '' OR state = 'running' THEN version_id END, patient_id,
  CASE WHEN decision <> '' THEN prediction_id END
FROM seed ORDER BY at
"""
_TRANSITION_ROWS = """
INSERT INTO classifier_transition (from_state, to_state, attempt, actor_kind, worker, reason,
  created_at, actor_id, analysis_id)
SELECT step.origin, step.target, step.attempt, step.kind,
  CASE WHEN step.kind = 'worker' THEN 'bench:1' ELSE '' END, '', at + step.after,
  CASE WHEN step.kind = 'user' THEN requester END, analysis_id
FROM seed CROSS JOIN LATERAL (VALUES
  ('', 'queued', 0, 'user', interval '0', 1),
  ('queued', 'running', 1, 'worker', interval '1 second', 2),
  ('running', state, 1, 'worker', interval '2 seconds', 3)
) AS step (origin, target, attempt, kind, after, number)
WHERE state IN ('succeeded', 'rejected', 'failed') OR step.number = 1
ORDER BY at, step.number
"""
_READING_ROWS = f"""
INSERT INTO classifier_reading (id, diagnosis, diagnosis_text, blinded, created_at, analysis_id,
  clinic_id, reader_id)
SELECT {key("g", "n")}, label, '', true, at + interval '1 hour', analysis_id, clinic_id, reviewer
FROM seed WHERE decision <> '' AND review <> 'pending' ORDER BY at
"""
_REVIEW_ROWS = f"""
INSERT INTO classifier_review (id, number, verdict, diagnosis, diagnosis_text, reason, notes,
  created_at, analysis_id, clinic_id, prediction_id, reviewer_id)
SELECT {key("w", "n")}, 1, CASE WHEN review = 'deferred' THEN 'defer'
    WHEN n % 12 = 0 THEN 'overrule' ELSE 'agree' END,
  CASE WHEN review = 'deferred' THEN '' ELSE label END, '',
  CASE WHEN n % 12 = 0 THEN 'Clinical picture.' ELSE '' END,
  CASE WHEN n % 3 = 0 THEN 'Control in six months.' ELSE '' END, at + interval '1 hour',
  analysis_id, clinic_id, prediction_id, reviewer
FROM seed WHERE decision <> '' AND review <> 'pending' ORDER BY at
"""
_CONSENT_ROWS = f"""
INSERT INTO classifier_consent (id, use, given, decided_on, note, recorded_at, clinic_id,
  patient_id, recorded_by_id)
SELECT {key("o", "n")}, (ARRAY['care','teaching','research','training'])[1 + n % 4], n % 9 > 0,
  current_date - 400, '', now() - interval '400 days' - interval '1 second' * n, clinic_id, id,
  member
FROM seed_patient WHERE n % 2 = 0
"""
_AUDIT_ROWS = """
INSERT INTO classifier_auditevent (at, actor_kind, action, subject_type, subject_id, reason,
  details, actor_id, clinic_id, patient_key)
SELECT at + deed.after, deed.kind, deed.action, deed.type,
  CASE deed.type WHEN 'user' THEN requester WHEN 'patient' THEN patient_id ELSE analysis_id END,
  '', '{}', CASE WHEN deed.kind = 'user' THEN deed.actor END, clinic_id,
  CASE WHEN deed.type <> 'user' THEN patient_id END
FROM seed CROSS JOIN LATERAL (VALUES
  ('analysis.requested', 'user', 'analysis', requester, interval '0', true),
  ('analysis.answered', 'worker', 'analysis', NULL, interval '2 seconds', decision <> ''),
  ('analysis.failed', 'worker', 'analysis', NULL, interval '2 seconds', state = 'failed'),
  ('analysis.cancelled', 'user', 'analysis', requester, interval '2 seconds', state = 'cancelled'),
  ('answer.viewed', 'user', 'analysis', reviewer, interval '1 hour',
    decision <> '' AND review <> 'pending'),
  ('review.saved', 'user', 'analysis', reviewer, interval '2 hours',
    decision <> '' AND review <> 'pending'),
  ('patient.viewed', 'user', 'patient', reviewer, interval '50 minutes', n % 2 = 0),
  ('sign_in.done', 'user', 'user', requester, interval '-9 minutes', n % 20 = 0),
  ('sign_in.failed', 'system', 'user', NULL, interval '-10 minutes', n % 200 = 0),
  ('patient.exported', 'user', 'patient', reviewer, interval '3 hours', n % 5000 = 1)
) AS deed (action, kind, type, actor, after, done)
WHERE deed.done ORDER BY at + deed.after
"""
# The person of five clinics has emergency access to somebody of a sixth.
_EMERGENCY_ROW = f"""
INSERT INTO classifier_breakglass (id, reason, created_at, expires_at, clinic_id, patient_id,
  user_id)
SELECT {key("b", "1")}, 'Found unconscious.', now(), now() + interval '30 days', clinic_id, id,
  {key("who", "'five'")}
FROM seed_patient WHERE clinic = 4 ORDER BY n LIMIT 1
"""
