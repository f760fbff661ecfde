"""Files and tables read into a checked cohort."""
