"""The study layer: it joins the libraries, once for all papers.

A notebook that imports anything of it shows every DataFrame by `widgets.dataframes.html`.
"""

from mdlib.widgets import dataframes

dataframes.show_in_notebooks()
