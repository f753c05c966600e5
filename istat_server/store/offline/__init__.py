"""What is done to a store that no server has open: bulk import, backup, check, repair, a dry run of retention."""
