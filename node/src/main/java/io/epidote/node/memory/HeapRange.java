package io.epidote.node.memory;

import java.lang.management.ManagementFactory;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.management.JMException;
import javax.management.ObjectName;

/** The addresses between which the Java heap is; from the JVM's own description of it. */
record HeapRange(long start, long end) {
  private static final Pattern BOUNDS =
      Pattern.compile("\\[0x(\\p{XDigit}+), [^)]*?0x(\\p{XDigit}+)\\)");

  /** Empty where this JVM does not tell. */
  static HeapRange read() {
    try {
      Object text =
          ManagementFactory.getPlatformMBeanServer()
              .invoke(
                  new ObjectName("com.sun.management:type=DiagnosticCommand"),
                  "gcHeapInfo",
                  new Object[0],
                  new String[0]);
      return parse(String.valueOf(text));
    } catch (JMException e) {
      return new HeapRange(0, 0);
    }
  }

  /** From the lowest to the highest bound that {@code GC.heap_info} names. */
  static HeapRange parse(String text) {
    long start = Long.MAX_VALUE;
    long end = 0;
    Matcher matcher = BOUNDS.matcher(text);
    while (matcher.find()) {
      start = Math.min(start, Long.parseLong(matcher.group(1), 16));
      end = Math.max(end, Long.parseLong(matcher.group(2), 16));
    }
    return end == 0 ? new HeapRange(0, 0) : new HeapRange(start, end);
  }

  boolean holds(Mapping mapping) {
    return mapping.start() >= start && mapping.end() <= end;
  }
}
