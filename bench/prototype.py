"""The usual student prototype, to compare with: ``gunicorn bench.prototype:app``."""

from __future__ import annotations

import io
import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from flask import Flask, jsonify, request
from PIL import Image

from mlcore.bundle import latest, load_release

release = load_release(latest("isic9"))
model = keras.saving.load_model(release.file("model.keras"), compile=False, safe_mode=True)
side = release.input_side
app = Flask(__name__)


@app.post("/predict")
def predict() -> Any:
    """Return the nine probabilities of one uploaded picture."""
    picture = Image.open(io.BytesIO(request.files["image"].read())).convert("RGB")
    square = np.asarray(picture.resize((side, side)), dtype=np.float32)
    logits = model.predict(square[None], verbose=0)["logits"][0]
    chances = np.exp(logits - logits.max())
    return jsonify(dict(zip(release.labels.keys, map(float, chances / chances.sum()), strict=True)))
