"""What MP4, AVI and Matroska files say about their pictures: numpy alone, no decoder."""
