"""What must be true: the content of every image after every act. Pure values, no I/O."""
