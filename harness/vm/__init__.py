"""The nouns of a scenario: domain, disk, block job, guest."""
