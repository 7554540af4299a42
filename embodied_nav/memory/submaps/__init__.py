"""What each keyframe and the frames after it saw, and the map remade under corrected poses. Knows no files."""
