"""What programs send and get. The OpenAPI schema is made from these classes.

Annotations are read at run time here, so there is no ``from __future__ import annotations``.
"""

import re
import uuid
from datetime import date, datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, Field, StrictInt

from classifier.choices import (
    BodySite,
    Decision,
    Modality,
    ReviewState,
    Scope,
    Sex,
    SkinType,
    State,
    Verdict,
)
from classifier.models import LabelSet

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})", re.ASCII
)


def _spelt(pattern: re.Pattern[str], example: str) -> BeforeValidator:
    """Let through the one spelling that the schema promises, not all that a library reads."""

    def check(value: Any) -> Any:
        if value is None or (isinstance(value, str) and pattern.fullmatch(value)):
            return value
        msg = f"Write it like {example}"
        raise ValueError(msg)

    return BeforeValidator(check)


Day = Annotated[date, _spelt(_DAY, "2026-11-21")]
Moment = Annotated[datetime, _spelt(_MOMENT, "2026-11-21T14:05:00+01:00")]
# PostgreSQL holds no NUL.
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
SomeText = Annotated[str, Field(pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]


class Sent(Schema):
    """A body: what it does not know is a mistake, not something to pass over."""

    model_config = ConfigDict(extra="forbid")


# --- Who asks ----------------------------------------------------------------------------------


class TokenFacts(Schema):
    """What the token of the request may do."""

    token: uuid.UUID
    name: str
    person: str
    clinic: uuid.UUID
    clinic_name: str
    scopes: list[Scope]
    expires_at: datetime


# --- Patients ----------------------------------------------------------------------------------


class PatientIn(Sent):
    """A patient to register."""

    record_number: SomeText = Field(max_length=64)
    name: SomeText = Field(max_length=200)
    date_of_birth: Day | None = None
    sex: Sex = Sex.UNKNOWN
    skin_type: SkinType = SkinType.UNKNOWN
    notes: Text = Field("", max_length=10_000)


class PatientOut(Schema):
    """A patient."""

    id: uuid.UUID
    clinic: uuid.UUID
    record_number: str
    name: str
    date_of_birth: date | None
    sex: Sex
    skin_type: SkinType
    notes: str
    archived: bool
    created_at: datetime
    updated_at: datetime


class ListedPatient(Schema):
    """A patient in a list."""

    id: uuid.UUID
    record_number: str
    name: str
    date_of_birth: date | None
    sex: Sex
    archived: bool


class PatientPage(Schema):
    """A page of patients, by name. ``next`` is the ``after`` of the page that follows."""

    items: list[ListedPatient]
    next: uuid.UUID | None


class LesionIn(Sent):
    """A lesion to record."""

    label: SomeText = Field(max_length=100)
    body_site: BodySite = BodySite.UNKNOWN
    first_seen: Day | None = None


class LesionOut(Schema):
    """A lesion."""

    id: uuid.UUID
    patient: uuid.UUID
    label: str
    body_site: BodySite
    first_seen: date | None
    created_at: datetime


class LesionList(Schema):
    """All lesions of a patient, oldest first."""

    items: list[LesionOut]


# --- Images and analyses -----------------------------------------------------------------------


class ImageIn(Sent):
    """How an image was taken, and of what. ``modality`` decides which network looks at it."""

    modality: Modality
    lesion: uuid.UUID | None = None
    taken_at: Moment | None = Field(
        None, description="The camera's own clock, where the file tells it, unless given."
    )


class AnalysisOut(Schema):
    """Where an analysis stands.

    ``hidden`` says that there is an answer which the token's owner must not see before their own
    reading is saved; ``state`` then says ``succeeded`` whatever the answer is.
    """

    id: uuid.UUID
    patient: uuid.UUID
    image: uuid.UUID
    lesion: uuid.UUID | None
    modality: Modality
    label_set: LabelSet
    state: State
    finished: bool
    hidden: bool
    requested_at: datetime
    finished_at: datetime | None
    failure_code: str
    failure_reference: str
    review_state: ReviewState
    review_count: int


class ImageOut(Schema):
    """An image and the newest of its analyses.

    ``known``: the same bytes were in the patient's record already, and no image was added.
    ``other_lesion``: it was sent for another lesion, or for none, than the one that it is filed
    under and stays under (``lesion``).
    """

    id: uuid.UUID
    patient: uuid.UUID
    lesion: uuid.UUID | None
    modality: Modality
    taken_at: datetime | None
    uploaded_at: datetime
    width: int
    height: int
    analysis: AnalysisOut | None
    known: bool = False
    other_lesion: bool = False


class ImagePage(Schema):
    """A page of images, newest first. ``next`` is the ``after`` of the page that follows."""

    items: list[ImageOut]
    next: uuid.UUID | None


class RankedOut(Schema):
    """One label with its calibrated probability."""

    label: str
    name: str
    icd10: str
    triage_group: str
    probability: float
    shown: str


class VersionOut(Schema):
    """The network that answered."""

    id: uuid.UUID
    label_set: LabelSet
    version: str


class AnswerOut(Schema):
    """What the network said, as the pages show it. It is no diagnosis.

    ``first_label`` is set where ``decision`` is ``answer``. Where it is ``cannot_say``, the
    probabilities are given for completeness and are no answer; where it is ``rejected``, there are
    none. ``triage_group`` is the worst plausible one; it is null where the picture was rejected,
    and where ``reason_code`` is ``outside_labels``: nothing can be said of it then.
    """

    decision: Decision
    reason_code: str
    reason: str
    first_label: str | None
    words: str | None
    triage_group: str | None
    probabilities: list[RankedOut]
    network: VersionOut
    answered_at: datetime


class ReadingOut(Schema):
    """What somebody thought; ``blinded`` if they had not seen the network's answer."""

    reader: str
    diagnosis: str
    diagnosis_name: str
    blinded: bool
    saved_at: datetime


class ReviewOut(Schema):
    """A verdict on the network's answer."""

    number: int
    reviewer: str
    verdict: Verdict
    diagnosis: str
    diagnosis_name: str
    reason: str
    notes: str
    saved_at: datetime


class ResultOut(Schema):
    """Everything on record about an analysis, as far as the token's owner may see it.

    While ``hidden``, there is an answer and ``answer`` is null: save a reading first. ``seen`` goes
    back with the review that answers to it; null while there is nothing to review.
    """

    analysis: AnalysisOut
    hidden: bool
    answer: AnswerOut | None
    readings: list[ReadingOut]
    reviews: list[ReviewOut]
    seen: str | None
    note: str


class ReadingIn(Sent):
    """The owner's own reading; saved once, then locked."""

    diagnosis: SomeText = Field(max_length=40, description="A label of the set, or “other”.")
    diagnosis_text: Text = Field("", max_length=200)


class ReviewIn(Sent):
    """The owner's verdict. ``expected_number`` is the ``review_count`` that they saw.

    ``seen`` is the result's, as they saw it: where somebody read the image since, or there is
    another answer, the review is refused with 409.
    """

    verdict: Verdict
    expected_number: StrictInt = Field(ge=0, le=2_147_483_646)
    seen: Text | None = Field(None, max_length=80)
    diagnosis: Text = Field("", max_length=40)
    diagnosis_text: Text = Field("", max_length=200)
    reason: Text = Field("", max_length=500)
    notes: Text = Field("", max_length=10_000)


# --- The register ------------------------------------------------------------------------------


class RegisterRow(Schema):
    """One analysis in the clinic's register; what is hidden from the owner is null here too."""

    analysis: uuid.UUID
    patient: uuid.UUID
    record_number: str
    patient_name: str
    modality: Modality
    lesion: str | None
    body_site: BodySite | None
    requested_at: datetime
    state: State
    hidden: bool
    decision: Decision | None
    first_label: str | None
    probability: float | None
    model_version: str | None
    review_state: ReviewState
    reviewer: str | None
    final_diagnosis: str | None
    outcome: str | None = Field(None, description="What the lesion turned out to be, in words.")
    outcome_found_on: date | None = None


class RegisterPage(Schema):
    """A page of the register, newest first. ``next`` is the ``after`` of the page that follows."""

    items: list[RegisterRow]
    next: uuid.UUID | None


# --- Networks ----------------------------------------------------------------------------------


class LabelOut(Schema):
    """One label of a network."""

    label: str
    name: str
    icd10: str
    triage_group: str


class ModelOut(Schema):
    """A registered network."""

    id: uuid.UUID
    label_set: LabelSet
    version: str
    active: bool
    artefact_sha256: str
    registered_at: datetime
    activated_at: datetime | None
    labels: list[LabelOut]


class ModelList(Schema):
    """All registered networks."""

    items: list[ModelOut]
