"""Scores answerers on questions about apartments and videos. Knows neither how questions are made nor what answers."""
