"""Surveys of many crystals: what a tier costs, who goes on to the next one, and the ranking of the rest."""
