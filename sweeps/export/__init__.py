"""Exports: recipes of trials as files for the repository that trains them at full size.

`select` says which trials, `document` what is written of one, `models` has Keras build it in a process of its own,
`plan` compares with what is there, `folder` and `branch` write, `verify` checks an export. Nothing here holds Keras.
"""
