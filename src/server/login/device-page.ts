/** The form in which a person enters the code that another device shows. SECURITY: both values are of our own alphabets. */
export function devicePage({ check, code }: { check: string; code: string }): string {
  return `<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in on another device</title>
<form method="post">
<p>A program on another device waits for you to log in. Go on only if you began that yourself, and it shows this code.</p>
<input type="hidden" name="check" value="${check}">
<p><label>Code <input name="user_code" value="${code}" autocomplete="off" required></label> <button>Log in</button></p>
</form>
</html>
`
}
