"""The documentation site: pages that are made from the code, and how MkDocs takes them up (`hooks`).

`make docs` builds it from `docs/` and from the files at the root that are documents, too; nothing of what is there is
written twice. A page refers to nothing outside of the site. MkDocs puts the folder of its hooks on Python's path, so no
module here may have the name of a library.

May import of `scripts`: map.
"""
