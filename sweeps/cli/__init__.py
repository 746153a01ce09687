"""The command line: `app` lists the commands and says which module has each; the other modules are what they share."""
