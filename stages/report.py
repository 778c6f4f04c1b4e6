"""Report: write one page that shows how good the model is and where it is not → data/reports/report.html.

The page reads the figures under metrics/ and the studies under benchmarks/results/; each section names its file. It
opens without a network connection.
"""

from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import REPORT_PAGE
from movie_ratings.reports import report_page


def report() -> None:
    report_page.write(REPORT_PAGE)
    print(f"report: {REPORT_PAGE} written")


if __name__ == "__main__":
    run_stage(report, [REPORT_PAGE])
