"""The commands of the library, one file each; `keras_attention.__main__` calls them."""
