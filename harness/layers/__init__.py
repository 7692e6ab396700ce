"""What a disk's layers hold and show: the oracle, the image files, and the readers that compare the two."""
