"""What the documentation site is made of besides the pages in `docs/`: references and notebooks, written from the code."""
