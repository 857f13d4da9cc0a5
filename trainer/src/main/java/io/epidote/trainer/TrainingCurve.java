package io.epidote.trainer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads the log of {@link Training} and draws it: the losses, and below them the exact answers per
 * kind.
 */
final class TrainingCurve {
  private static final Pattern LOSS =
      Pattern.compile("step \\d+ of \\d+ total (\\d+) answer ([0-9.]+) auxiliary ([0-9.]+)");
  private static final Pattern EXACT = Pattern.compile("exact total (\\d+) (.*)");
  private static final Pattern KIND = Pattern.compile("([a-z]+) ([0-9.]+) \\(([0-9.]+)\\)");
  private static final List<String> COLORS =
      List.of("#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#17becf", "#8c564b");
  private static final int WIDTH = 860;
  private static final int LEFT = 60;
  private static final int RIGHT = 720;

  /** A point of a line: x is the step. */
  private record Point(double x, double y) {}

  private final Map<String, List<Point>> losses = new LinkedHashMap<>();
  private final Map<String, List<Point>> exact = new LinkedHashMap<>();
  private double last;

  private TrainingCurve() {}

  static TrainingCurve of(List<String> log) {
    TrainingCurve curve = new TrainingCurve();
    for (String line : log) {
      Matcher loss = LOSS.matcher(line);
      if (loss.find()) {
        double step = Double.parseDouble(loss.group(1));
        curve.last = Math.max(curve.last, step);
        double answer = Double.parseDouble(loss.group(2));
        if (answer > 0) {
          curve
              .losses
              .computeIfAbsent("answer", k -> new ArrayList<>())
              .add(new Point(step, answer));
        }
        curve
            .losses
            .computeIfAbsent("auxiliary", k -> new ArrayList<>())
            .add(new Point(step, Double.parseDouble(loss.group(3))));
      }
      Matcher scores = EXACT.matcher(line);
      if (scores.find()) {
        double step = Double.parseDouble(scores.group(1));
        Matcher kind = KIND.matcher(scores.group(2));
        while (kind.find()) {
          curve
              .exact
              .computeIfAbsent(kind.group(1), k -> new ArrayList<>())
              .add(new Point(step, Double.parseDouble(kind.group(2))));
        }
      }
    }
    if (curve.losses.isEmpty()) {
      throw new IllegalArgumentException(
          "the log has no line \"step ... answer ... auxiliary ...\": give the file that train --log wrote");
    }
    return curve;
  }

  void write(Path file) throws IOException {
    StringBuilder svg = new StringBuilder();
    svg.append(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d 640\" font-family=\"sans-serif\" font-size=\"12\">%n"
            .formatted(WIDTH));
    svg.append("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
    text(svg, LEFT, 20, "loss (logarithmic)");
    for (double tick : new double[] {0.01, 0.1, 1}) {
      rule(svg, loss(tick), Double.toString(tick));
    }
    lines(svg, losses, true);
    text(svg, LEFT, 330, "exact answers on held-out scenes, %");
    for (int tick = 0; tick <= 100; tick += 25) {
      rule(svg, share(tick), Integer.toString(tick));
    }
    lines(svg, exact, false);
    for (int step = 0; step <= last; step += 1000) {
      text(svg, x(step) - 12, 630, Integer.toString(step));
    }
    text(svg, RIGHT + 10, 630, "steps");
    svg.append("</svg>\n");
    Files.writeString(file, svg);
  }

  /** A Markdown table of the exact answers per kind. */
  String table() {
    StringBuilder out = new StringBuilder("| step |");
    exact.keySet().forEach(kind -> out.append(' ').append(kind).append(" |"));
    out.append("\n|---|").append("---|".repeat(exact.size())).append('\n');
    List<Double> steps =
        exact.values().stream().flatMap(List::stream).map(Point::x).distinct().sorted().toList();
    for (double step : steps) {
      out.append("| ").append((int) step).append(" |");
      for (List<Point> points : exact.values()) {
        String value =
            points.stream()
                .filter(p -> p.x() == step)
                .findFirst()
                .map(p -> String.format(Locale.ROOT, "%.1f", p.y()))
                .orElse("");
        out.append(' ').append(value).append(" |");
      }
      out.append('\n');
    }
    return out.toString();
  }

  private void lines(StringBuilder svg, Map<String, List<Point>> series, boolean loss) {
    int index = 0;
    for (var entry : series.entrySet()) {
      String color = COLORS.get(index % COLORS.size());
      StringBuilder points = new StringBuilder();
      for (Point p : entry.getValue()) {
        double y = loss ? loss(p.y()) : share(p.y());
        points.append(String.format(Locale.ROOT, "%.1f,%.1f ", x(p.x()), y));
      }
      svg.append(
          "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"%s\"/>%n"
              .formatted(color, points.toString().strip()));
      svg.append(
          "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>%n"
              .formatted(RIGHT + 10, (loss ? 40 : 350) + 18 * index, color, entry.getKey()));
      index++;
    }
  }

  private double x(double step) {
    return LEFT + (RIGHT - LEFT) * step / last;
  }

  private static double loss(double value) {
    double part =
        (Math.log10(Math.max(value, 0.003)) - Math.log10(0.003)) / (1 - Math.log10(0.003));
    return 290 - 260 * part;
  }

  private static double share(double percent) {
    return 605 - 2.6 * percent;
  }

  private static void rule(StringBuilder svg, double y, String label) {
    svg.append(
        String.format(
            Locale.ROOT,
            "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>%n",
            LEFT,
            RIGHT,
            y,
            y));
    text(svg, 20, y + 4, label);
  }

  private static void text(StringBuilder svg, double x, double y, String text) {
    svg.append(
        String.format(
            Locale.ROOT, "<text x=\"%.1f\" y=\"%.1f\" fill=\"#333\">%s</text>%n", x, y, text));
  }
}
