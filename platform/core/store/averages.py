"""Between the averages that a record shows and the sums that a store counts up."""

import math


def total_of(average: float, count: int) -> float:
    """Returns a sum over `count` values that has exactly this average, so that a row survives being moved.

    `average * count` is rounded, and dividing it again may end one float beside `average`. Of the sums a store has made
    the average of, one is that product or next to it; for an average that is nobody's, the product is close enough.
    """
    product = average * count
    for total in (product, math.nextafter(product, -math.inf), math.nextafter(product, math.inf)):
        if count and total / count == average:
            return total
    return product
