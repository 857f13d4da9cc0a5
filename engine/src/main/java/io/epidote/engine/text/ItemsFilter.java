package io.epidote.engine.text;

import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.filter.Filter;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Jinja's filter for walking over a mapping, which Jinjava has not. */
final class ItemsFilter implements Filter {
  @Override
  public String getName() {
    return "items";
  }

  @Override
  public Object filter(
      @Nullable Object value, JinjavaInterpreter interpreter, String... arguments) {
    return value instanceof Map<?, ?> map ? map.entrySet() : List.of();
  }
}
