"""Training: recipes as data, augmentation in NumPy and Pillow, one loop for any Keras backend."""
