"""Maps for other programs and for people: PLY, glTF, Nav2 maps, pictures. Knows no files of memories."""
