"""The packages for those who write apps, as an author gets them."""
