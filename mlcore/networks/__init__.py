"""Network architectures in functional Keras, and where their first weights come from."""
