"""One scenario's run: its images, its VMs, its journal, and the words that scenarios speak."""
