"""What the kernel's own memory for a cached file takes from the cache. Knows no models."""

from __future__ import annotations

from dataclasses import dataclass

from istat.pagecache.layouts import PAGE


@dataclass(frozen=True)
class Overhead:
    """Bytes of kernel memory, for each open-cached file and for each of its pages in the cache."""

    file: int
    page: int

    def of_file(self, pages: int, page_size: int = PAGE) -> int:
        """Bytes of memory that a file with so many pages in the cache takes in all."""
        return pages * (page_size + self.page) + self.file

    def files(self, memory: int, pages: int, page_size: int = PAGE) -> int:
        """How many files fit into so many bytes, with so many pages each."""
        return memory // max(1, self.of_file(pages, page_size))

    def pages(self, memory: int, files: int, page_size: int = PAGE) -> int:
        """How many whole pages each of so many files gets; below 0 when not even what the kernel keeps of them fits."""
        return (memory - files * self.file) // (files * (page_size + self.page))


# Object sizes of /proc/slabinfo, Linux 6.18 on x86-64: the inode, a directory entry (192) and a node of the index of
# pages (584); on ext4 each page has a buffer head (104), which xfs does without.
DENTRY, INDEX = 192, 584
OVERHEADS = {"ext4": Overhead(1128 + DENTRY + INDEX, 104), "xfs": Overhead(1024 + DENTRY + INDEX, 0),
             "none": Overhead(0, 0)}
