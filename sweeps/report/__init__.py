"""Reports of a study: `findings` are its numbers, `page` and `text` show them, `tables` exports what they are from.

Light: no TensorFlow, and matplotlib only in `figures`.
"""
