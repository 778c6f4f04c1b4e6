"""What a movie is: the record, its text, its label, its split."""
