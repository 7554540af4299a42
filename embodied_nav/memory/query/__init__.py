"""Questions to a map: by words, box, view, time, nearness or feature. Changes nothing, knows no files."""
