package io.epidote.engine.text;

import com.hubspot.jinjava.objects.collections.PyList;
import java.beans.FeatureDescriptor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import jinjava.javax.el.ELContext;
import jinjava.javax.el.ELResolver;
import org.jspecify.annotations.Nullable;

/**
 * The methods of Python's strings, which chat templates call and Java's strings have not, or have
 * with another meaning: {@code split} is not by a regular expression, {@code strip} takes
 * characters.
 */
final class PythonStrings extends ELResolver {
  private static final String WHITESPACE = " \t\n\r\f\u000B";

  @Override
  public @Nullable Object invoke(
      ELContext context,
      @Nullable Object base,
      @Nullable Object method,
      Class<?> @Nullable [] types,
      Object @Nullable [] arguments) {
    if (!(base instanceof String text) || method == null) {
      return null;
    }
    List<String> strings = new ArrayList<>();
    for (Object argument : arguments == null ? new Object[0] : arguments) {
      strings.add(String.valueOf(argument));
    }
    Object result = call(text, method.toString(), strings);
    if (result != null) {
      context.setPropertyResolved(true);
    }
    return result;
  }

  private static @Nullable Object call(String text, String method, List<String> arguments) {
    String first = arguments.isEmpty() ? "" : arguments.getFirst();
    return switch (method) {
      case "strip" -> strip(text, arguments, true, true);
      case "lstrip" -> strip(text, arguments, true, false);
      case "rstrip" -> strip(text, arguments, false, true);
      case "upper" -> text.toUpperCase(Locale.ROOT);
      case "lower" -> text.toLowerCase(Locale.ROOT);
      case "capitalize" -> capitalize(text);
      case "title" -> title(text);
      case "startswith" -> text.startsWith(first);
      case "endswith" -> text.endsWith(first);
      case "find" -> text.indexOf(first);
      case "count" -> first.isEmpty() ? text.length() + 1 : split(text, first, -1).size() - 1;
      case "replace" -> arguments.size() == 2 ? text.replace(first, arguments.get(1)) : null;
      case "split" -> {
        int limit = arguments.size() > 1 ? Integer.parseInt(arguments.get(1)) : -1;
        List<String> pieces =
            arguments.isEmpty() ? words(text) : first.isEmpty() ? null : split(text, first, limit);
        yield pieces == null ? null : new PyList(new ArrayList<>(pieces));
      }
      case "splitlines" -> new PyList(new ArrayList<>(text.lines().toList()));
      default -> null;
    };
  }

  private static String strip(String text, List<String> arguments, boolean left, boolean right) {
    String characters = arguments.isEmpty() ? WHITESPACE : arguments.getFirst();
    int from = 0;
    int to = text.length();
    while (left && from < to && characters.indexOf(text.charAt(from)) >= 0) {
      from++;
    }
    while (right && to > from && characters.indexOf(text.charAt(to - 1)) >= 0) {
      to--;
    }
    return text.substring(from, to);
  }

  private static List<String> split(String text, String separator, int limit) {
    List<String> pieces = new ArrayList<>();
    int from = 0;
    for (int at = text.indexOf(separator);
        at >= 0 && pieces.size() != limit;
        at = text.indexOf(separator, from)) {
      pieces.add(text.substring(from, at));
      from = at + separator.length();
    }
    pieces.add(text.substring(from));
    return pieces;
  }

  private static List<String> words(String text) {
    return text.isBlank() ? List.of() : List.of(text.strip().split("\\s+"));
  }

  private static String capitalize(String text) {
    return text.isEmpty()
        ? text
        : text.substring(0, 1).toUpperCase(Locale.ROOT)
            + text.substring(1).toLowerCase(Locale.ROOT);
  }

  private static String title(String text) {
    StringBuilder title = new StringBuilder(text.length());
    boolean inWord = false;
    for (char c : text.toCharArray()) {
      title.append(inWord ? Character.toLowerCase(c) : Character.toUpperCase(c));
      inWord = Character.isLetter(c);
    }
    return title.toString();
  }

  @Override
  public @Nullable Object getValue(
      ELContext context, @Nullable Object base, @Nullable Object property) {
    return null;
  }

  @Override
  public @Nullable Class<?> getType(
      ELContext context, @Nullable Object base, @Nullable Object property) {
    return null;
  }

  @Override
  public void setValue(
      ELContext context,
      @Nullable Object base,
      @Nullable Object property,
      @Nullable Object value) {}

  @Override
  public boolean isReadOnly(ELContext context, @Nullable Object base, @Nullable Object property) {
    return true;
  }

  @Override
  public Iterator<FeatureDescriptor> getFeatureDescriptors(
      ELContext context, @Nullable Object base) {
    return Collections.emptyIterator();
  }

  @Override
  public @Nullable Class<?> getCommonPropertyType(ELContext context, @Nullable Object base) {
    return null;
  }
}
