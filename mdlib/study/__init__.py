"""The study layer: it joins the libraries, once for all papers.

A notebook that imports anything of it shows every DataFrame by `tables.html`.
"""

from mdlib.study import tables

tables.show_in_notebooks()
