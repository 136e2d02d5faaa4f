"""What the tests of figures read off axes."""


def line(ax, label):
    return next(one for one in ax.lines if one.get_label() == label)


def texts(ax):
    return {text.get_text() for text in ax.texts}


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]
