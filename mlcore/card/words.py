"""What is said of a label set whatever was measured, and what figures are called."""

from __future__ import annotations

MEASURES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Macro precision",
    "macro_f1": "Macro F1",
    "macro_auc": "Macro AUC, each label against the rest",
    "melanoma_recall": "Melanoma recall, first answer",
    "same_icd_group_accuracy": "Same ICD-10 code as the truth",
    "malignant_auc": "AUC, malignant or pre-malignant against benign",
    "melanoma_nevus_auc": "AUC, melanoma against nevus",
    "calibration_error": "Expected calibration error",
    "calibration_error_equal_mass": "Calibration error, bins of equal mass",
    "calibration_error_debiased": "Calibration error, debiased (root mean square)",
    "brier_score": "Brier score",
    "log_loss": "Log loss",
}
POINT = {
    "coverage": "Images that get an answer",
    "accuracy_of_answers": "Accuracy of the answers given",
    "malignant_sensitivity": "Sensitivity, malignant or pre-malignant",
    "malignant_specificity": "Specificity, malignant or pre-malignant",
    "melanoma_sensitivity": "Sensitivity, melanoma",
}
# What counts most stands first; a database does not keep the order of a release's figures.
PARTS = {
    "test": "test",
    "cross_validation": "cross-validation",
    "validation": "validation",
    "calibration": "calibration",
}
DATA_PARTS = ("train", "validation", "calibration", "test")
HAM_DIAGNOSES = {
    "akiec": "Actinic keratosis or intraepithelial carcinoma (akiec)",
    "bcc": "Basal cell carcinoma (bcc)",
    "bkl": "Benign keratosis (bkl)",
    "df": "Dermatofibroma (df)",
    "mel": "Melanoma (mel)",
    "nv": "Nevus (nv)",
    "vasc": "Vascular lesion (vasc)",
}
BINNING = (
    "Calibration errors are of the probability of the first answer. The first is over 15 bins of "
    "equal width (Guo et al. 2017); few images make it large even where every probability is true. "
    "The second is over bins that hold equally many images. The third takes off what chance adds "
    "(Kumar et al. 2019)."
)
INTERVALS = (
    "In brackets: 95 % intervals by bootstrap over groups (2000 resamples; what is known to show "
    "one lesion or one patient, and near-duplicates, are drawn together; where every resample says "
    "0 or 1, Wilson's interval over the groups). Fewer than 30 images are too few to say."
)
BEFORE_GATES = (
    "Everything here is measured of the network's own answers; the gates that refuse a picture "
    "before an answer have a table of their own."
)
GATES_QUALITY = "image quality: blur, exposure and contrast, with a hint how to take a better one"
GATES_OUTSIDE = "whether the picture is skin, and of a kind that the network was trained on"
DATA = {
    "isic9": (
        "Nine-class set of dermoscopic images of the ISIC Archive, curated: files that carry two "
        "contradictory labels are left out of training (mlcore/data/curation_isic9.csv)."
    ),
    "clinical5": (
        "Clinical photographs of DermNet NZ, small and noisy; labels come from the diagnosis the "
        "photograph is filed under."
    ),
}
WITH_HAM = (
    "HAM10000 joins the training: mel, nv, bkl, bcc, df and vasc; akiec stays out, because the "
    "nine-class set calls part of it actinic keratosis and part squamous cell carcinoma."
)
EXPOSED = (
    "Photographs of other skin diseases joined the training without a label (outlier exposure, "
    "Hendrycks et al., ICLR 2019): the network was taught to prefer no label there. They are the "
    "half of the outside pictures that the gate was fitted on; the other half was held out."
)
GATE_DATA = (
    "The gate before the answer was fitted on the training images, on one half of the outside "
    "pictures (ordinary photographs, other skin diseases, images of the other modality) and on "
    "drawn pictures. The table of the gates below is of the other half."
)
OUTSIDE_LICENCES = (
    ("Other skin diseases, for the gate", "DermNet NZ", "CC BY-NC-ND 3.0 NZ"),
    ("Ordinary photographs, for the gate", "ImageNet sample images", "research use"),
)
EVEN_LABELS = "as if every label were equally frequent"
MELANOMA_RAISED = (
    "the odds of melanoma are raised {times:.1f}-fold, as far as that costs no more than one "
    "hundredth of the accuracy, because a melanoma that is called something else harms more than "
    "the reverse"
)
CALIBRATED_ON = {
    "calibration": "the calibration part",
    "cross_validation": "predictions of the cross-validation",
}
CHOSEN_ON = {
    "calibration": "Temperature and thresholds were chosen on the calibration part.",
    "cross_validation": (
        "Temperature, offsets and the threshold for suspicion were chosen on the predictions of "
        "the cross-validation, the threshold for an answer and the gate's bounds on the "
        "calibration part."
    ),
}
THRESHOLDS_CHOSEN_ON = {
    "calibration": "Both were chosen on the calibration part.",
    "cross_validation": (
        "The first was chosen on the calibration part, the second on the cross-validation."
    ),
}
# What is known of who stands in two parts; the second where a manifest does not say
# ``same_patients``.
APART = {
    "isic9": (
        "No near-duplicate, no image of the same Archive id and no lesion that HAM10000 names "
        "stands in two parts. The other collections do not say which images show one lesion or "
        "one person."
    ),
    "clinical5": (
        "No near-duplicate stands in two parts, and no photographs of one person that were found "
        "by eye ({pairs} pairs). The archive does not say who is shown, so others may."
    ),
}
APART_BEFORE = {
    "isic9": APART["isic9"],
    "clinical5": (
        "No near-duplicate stands in two parts, but photographs of one person do: 13 such persons "
        "were found later in the training and the test part, with 15 of the 159 test images. All "
        "figures of this release are too good for that."
    ),
}
LICENCES = {
    "isic9": (
        ("Nine-class set", "ISIC Archive", "CC-0, CC BY and CC BY-NC, by image"),
        ("HAM10000", "Tschandl, Rosendahl and Kittler, Scientific Data 5, 2018", "CC BY-NC 4.0"),
    ),
    "clinical5": (("Clinical photographs", "DermNet NZ", "CC BY-NC-ND 3.0 NZ"),),
}
IMAGENET = ("Weights before training", "EfficientNet-Lite, trained on ImageNet", "Apache-2.0")
POPULATION = {
    "isic9": (
        "People with a single pigmented or keratotic lesion under the dermatoscope. HAM10000's "
        "images come from Austria and Australia; for the others the place was not recorded."
    ),
    "clinical5": (
        "People with a skin change in a clinical photograph; age, sex, country and skin type of "
        "those in the training images were not recorded."
    ),
}
WEAK = {
    "isic9": (
        (
            "Source and class are confounded in the public set: nevus, melanoma and seborrheic "
            "keratosis come from other archives than the rest, so figures from one hospital do not "
            "carry over to another."
        ),
        "Dark skin is hardly represented, and skin types were not recorded.",
        "Ink, rulers, hair and dark corners were not removed from the training images.",
        (
            "No dermoscopic image of a disease outside the labels was at hand. How often such an "
            "image gets an answer is not known: the other skin diseases of the gates' table are "
            "clinical photographs."
        ),
    ),
    "clinical5": (
        "Fewer than 500 training images.",
        "“Peeling skin” and “ring worm” are made of several diagnoses.",
        "Skin types were not recorded, so nothing can be said about them.",
        "The photographs carry the archive's watermark.",
    ),
}
# Which of them stands among the warnings, the manifest decides.
MIX_MEASURED = (
    "The probabilities assume the mix of cases that the network was measured on. Where another "
    "mix is seen, the same image may deserve another number."
)
_NO_SHARES = (
    "They are no shares of the cases of a clinic, where the same image may deserve another number."
)
MIX_EVEN = f"The probabilities are given {EVEN_LABELS}. {_NO_SHARES}"
MIX_RAISED = (
    f"The probabilities are given {EVEN_LABELS}, with the odds of melanoma raised. {_NO_SHARES}"
)
WARNINGS = (
    "The output is not a diagnosis. It is an opinion to hold beside one's own, formed first.",
    (
        "A benign answer never rules out cancer: a lesion that worries a clinician is to be "
        "treated as such, whatever the network says."
    ),
    (
        "It was not validated in a clinical trial, nor in the hospital where it is used. Compare "
        "it with pathology there before relying on it."
    ),
    "When the camera, the dermatoscope or the patients change, measure again.",
    "Not a medical device: research use only.",
)
REFERENCES = (
    (
        "Form of this page: Sendak et al., Presenting machine learning model information to "
        "clinical end users with model facts labels, npj Digital Medicine 3:41, 2020."
    ),
    "Network: Tan and Le, EfficientNet, ICML 2019, in its Lite form.",
    "Temperature: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.",
    (
        "Offsets: Alexandari, Kundaje and Shrikumar, Maximum Likelihood with Bias-Corrected "
        "Calibration, ICML 2020."
    ),
)
