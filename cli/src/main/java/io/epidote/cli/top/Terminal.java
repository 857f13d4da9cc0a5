package io.epidote.cli.top;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * The terminal that the process runs on: keys as they are pressed, and a screen of its own that is
 * gone, with the settings as they were, when this is closed or the process is ended.
 */
public final class Terminal implements AutoCloseable {
  private static final File DEVICE = new File("/dev/tty");
  private static final long LINUX_TIOCGWINSZ = 0x5413;
  private static final int STANDARD_OUTPUT = 1;

  private static final String OTHER_SCREEN = "\u001b[?1049h\u001b[?25l";
  private static final String USUAL_SCREEN = "\u001b[?25h\u001b[?1049l";
  private static final String HOME = "\u001b[H";
  private static final String CLEAR_LINE = "\u001b[K";
  private static final String CLEAR_BELOW = "\u001b[J";

  /** Of a screen, in characters. */
  public record Size(int columns, int rows) {
    static final Size USUAL = new Size(80, 24);
  }

  private final InputStream keys;
  private final PrintStream out;
  private final String settings;
  private final Thread hook = new Thread(this::restore, "restore-terminal");
  private boolean restored;

  private Terminal(InputStream keys, PrintStream out, String settings) {
    this.keys = keys;
    this.out = out;
    this.settings = settings;
  }

  /**
   * Takes the terminal.
   *
   * @throws InvalidRequest when the process has none
   */
  public static Terminal open(InputStream keys, PrintStream out) {
    if (System.console() == null || !System.console().isTerminal()) {
      throw new InvalidRequest(
          "There is no terminal to draw on; add --once for one look, or --json for programs.");
    }
    Terminal terminal = new Terminal(keys, out, stty("-g").strip());
    Runtime.getRuntime().addShutdownHook(terminal.hook);
    stty("-icanon", "-echo");
    out.print(OTHER_SCREEN);
    out.flush();
    return terminal;
  }

  /** The size now, as the system knows it. */
  public static Size size() {
    if (!System.getProperty("os.name").equals("Linux")) {
      String[] words = stty("size").strip().split(" ");
      return words.length == 2
          ? new Size(Integer.parseInt(words[1]), Integer.parseInt(words[0]))
          : Size.USUAL;
    }
    try (Arena arena = Arena.ofConfined()) {
      // Rows, columns, and both in pixels.
      MemorySegment window = arena.allocate(ValueLayout.JAVA_SHORT, 4);
      int failed = (int) Ioctl.HANDLE.invokeExact(STANDARD_OUTPUT, LINUX_TIOCGWINSZ, window);
      int rows = Short.toUnsignedInt(window.getAtIndex(ValueLayout.JAVA_SHORT, 0));
      int columns = Short.toUnsignedInt(window.getAtIndex(ValueLayout.JAVA_SHORT, 1));
      return failed != 0 || rows == 0 || columns == 0 ? Size.USUAL : new Size(columns, rows);
    } catch (Throwable e) {
      throw new IllegalStateException("ioctl cannot be called", e);
    }
  }

  /** Made when it is first needed: not on systems with another number for it. */
  private static final class Ioctl {
    static final MethodHandle HANDLE =
        Linker.nativeLinker()
            .downcallHandle(
                Linker.nativeLinker().defaultLookup().findOrThrow("ioctl"),
                FunctionDescriptor.of(
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.ADDRESS),
                Linker.Option.firstVariadicArg(2));
  }

  /** A key that was pressed, or -1; does not wait. */
  public int key() {
    try {
      return keys.available() > 0 ? keys.read() : -1;
    } catch (IOException e) {
      throw new Unavailable("The terminal is gone: " + e.getMessage(), e);
    }
  }

  /** Shows these lines in place of what was there. */
  public void show(List<String> lines) {
    StringBuilder frame = new StringBuilder(HOME);
    for (int i = 0; i < lines.size(); i++) {
      // No line feed behind the last one: it would move the screen.
      frame.append(i == 0 ? "" : "\r\n").append(lines.get(i)).append(CLEAR_LINE);
    }
    // At once, so that nothing half drawn is seen.
    out.print(frame.append(CLEAR_BELOW));
    out.flush();
  }

  private synchronized void restore() {
    if (!restored) {
      restored = true;
      out.print(USUAL_SCREEN);
      out.flush();
      stty(settings);
    }
  }

  @Override
  public void close() {
    restore();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // The JVM is going down and the hook runs already.
    }
  }

  private static String stty(String... arguments) {
    List<String> command = new ArrayList<>(List.of("stty"));
    command.addAll(List.of(arguments));
    try {
      Process stty =
          new ProcessBuilder(command)
              .redirectInput(DEVICE)
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      String said = new String(stty.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
      stty.waitFor();
      return said;
    } catch (IOException e) {
      throw new Unavailable(
          "The terminal cannot be set up, because stty cannot be run (%s); --once needs no terminal."
              .formatted(e.getMessage()),
          e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return "";
    }
  }
}
