"""From labels to potentials: labelled structures, datasets and how they are sampled."""
