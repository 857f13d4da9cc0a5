package io.epidote.engine.text;

import java.util.LinkedHashSet;
import java.util.Set;

/**
 * Reads a template's source for two things that Jinjava does otherwise than Jinja, either of which
 * would make a prompt that is almost right. Whitespace around blocks ({@code trim_blocks} and
 * {@code lstrip_blocks}, as Hugging Face sets them): Jinjava also strips what stands before a block
 * within a line. Filters: Jinjava passes a value by an unknown one unchanged, without a word.
 */
final class TemplateSource {
  private final String source;
  private final StringBuilder text = new StringBuilder();
  private final Set<String> filters = new LinkedHashSet<>();

  private TemplateSource(String source) {
    this.source = source;
  }

  static TemplateSource read(String source) {
    // Jinja drops one newline at the end of a template.
    TemplateSource template =
        new TemplateSource(
            source.endsWith("\n") ? source.substring(0, source.length() - 1) : source);
    template.scan();
    return template;
  }

  /** The source, its whitespace trimmed as Jinja would. */
  String text() {
    return text.toString();
  }

  /** The filters that the source names. */
  Set<String> filters() {
    return filters;
  }

  private void scan() {
    int at = 0;
    while (at < source.length()) {
      if (source.startsWith("{{", at)) {
        at = copy(at, behindBlock(at + 2, "}}"));
      } else if (source.startsWith("{%", at) || source.startsWith("{#", at)) {
        boolean comment = source.startsWith("{#", at);
        boolean keep = source.startsWith("+", at + 2);
        if (!keep) {
          stripToLineStart(at);
        }
        int end = comment ? behind("#}", at + 2) : behindBlock(at + 2, "%}");
        if (comment) {
          // Comments leave here, so their whitespace control has to be done here too.
          if (source.startsWith("-", at + 2)) {
            text.setLength(text.toString().stripTrailing().length());
          }
          boolean trimsBehind = source.startsWith("-#}", end - 3);
          at = end;
          while (trimsBehind && at < source.length() && source.charAt(at) <= ' ') {
            at++;
          }
        } else {
          text.append("{%");
          at = copy(at + (keep ? 3 : 2), end);
        }
        at += source.startsWith("\n", at) ? 1 : 0;
      } else {
        at = copy(at, at + 1);
      }
    }
  }

  private int copy(int from, int to) {
    text.append(source, from, to);
    return to;
  }

  /** Takes back the spaces before a block when there is nothing else on the line before it. */
  private void stripToLineStart(int block) {
    int start = block;
    while (start > 0 && (source.charAt(start - 1) == ' ' || source.charAt(start - 1) == '\t')) {
      start--;
    }
    if (start == 0 || source.charAt(start - 1) == '\n') {
      text.setLength(text.length() - (block - start));
    }
  }

  private int behind(String closing, int from) {
    int at = source.indexOf(closing, from);
    return at < 0 ? source.length() : at + closing.length();
  }

  private int behindBlock(int from, String closing) {
    int at = from;
    while (at < source.length() && !source.startsWith(closing, at)) {
      char c = source.charAt(at++);
      if (c == '\'' || c == '"') {
        at = behindString(at, c);
      } else if (c == '|') {
        at = scanFilter(at);
      }
    }
    return Math.min(source.length(), at + closing.length());
  }

  private int behindString(int from, char quote) {
    int at = from;
    while (at < source.length() && source.charAt(at) != quote) {
      at += source.charAt(at) == '\\' ? 2 : 1;
    }
    return at + 1;
  }

  private int scanFilter(int from) {
    int start = from;
    while (start < source.length() && Character.isWhitespace(source.charAt(start))) {
      start++;
    }
    int end = start;
    while (end < source.length() && Character.isJavaIdentifierPart(source.charAt(end))) {
      end++;
    }
    if (end > start) {
      filters.add(source.substring(start, end));
    }
    return end;
  }
}
