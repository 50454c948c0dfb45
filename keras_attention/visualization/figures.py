"""What views are drawn on; importing it imports matplotlib."""

import io

from matplotlib import figure


class Figure(figure.Figure):
    """A figure that the last line of a notebook cell shows.

    IPython shows figures of matplotlib only once `matplotlib.pyplot` has drawn one, and
    a view is drawn without pyplot, which would keep it open until it is closed.
    """

    def _repr_png_(self):
        picture = io.BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight")
        return picture.getvalue()
