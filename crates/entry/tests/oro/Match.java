import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;
import org.apache.oro.text.regex.*;

/**
 * What Canal's table filter (AviaterRegexFilter) answers, and what Java's own expressions say of it: a line of
 * patterns and a subject each.
 */
public class Match {
    /** Canal's matcher takes hours for some patterns. */
    static final int SECONDS_MAX = 5;

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        StringBuilder out = new StringBuilder();
        ExecutorService worker = worker();
        for (String line; (line = in.readLine()) != null;) {
            int end = line.indexOf('\u0002');
            String[] pieces = line.substring(0, end).split("\u0001");
            String subject = line.substring(end + 1);
            Future<String> answer = worker.submit(() -> answer(pieces, subject));
            try {
                out.append(answer.get(SECONDS_MAX, TimeUnit.SECONDS)).append('\n');
            } catch (TimeoutException e) {
                out.append("X\n");
                worker = worker();
            }
        }
        System.out.print(out);
    }

    /** One thread, which ends with the program even when it is in the midst of a match. */
    static ExecutorService worker() {
        return Executors.newSingleThreadExecutor(task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        });
    }

    static String answer(String[] pieces, String subject) {
        Arrays.sort(pieces, (a, b) -> Integer.compare(b.length(), a.length()));
        StringJoiner all = new StringJoiner("|");
        for (String piece : pieces) {
            all.add("^" + piece + "$");
        }
        try {
            Pattern pattern = new Perl5Compiler().compile(all.toString(), Perl5Compiler.CASE_INSENSITIVE_MASK
                | Perl5Compiler.READ_ONLY_MASK | Perl5Compiler.SINGLELINE_MASK);
            String answer = new Perl5Matcher().matches(subject.toLowerCase(), pattern) ? "1" : "0";
            return answer + second(all.toString(), subject.toLowerCase());
        } catch (MalformedPatternException e) {
            return "E";
        } catch (StackOverflowError | RuntimeException e) {
            return "X";
        }
    }

    /** The first way from the begin on, and whether that is all: no other way is looked for. */
    static String second(String pattern, String subject) {
        try {
            int flags = java.util.regex.Pattern.CASE_INSENSITIVE | java.util.regex.Pattern.DOTALL;
            java.util.regex.Matcher matcher = java.util.regex.Pattern.compile(pattern, flags).matcher(subject);
            return matcher.lookingAt() && matcher.end() == subject.length() ? "1" : "0";
        } catch (java.util.regex.PatternSyntaxException | StackOverflowError e) {
            return "E";
        }
    }
}
