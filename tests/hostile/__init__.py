"""kan4ml against inputs, surroundings and artefacts that mean it no good."""
