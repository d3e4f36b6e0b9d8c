// The outline follows the eye.
import { $$ } from "./page.js";

const links = new Map($$(".outline a").map((link) => [link.hash.slice(1), link.parentElement]));
if (links.size) {
  const inSight = new Set();
  const eye = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) inSight.add(entry.target.id);
        else inSight.delete(entry.target.id);
      }
      let found = false;
      for (const [id, line] of links) {
        const here = !found && inSight.has(id);
        line.classList.toggle("here", here);
        found ||= here;
      }
    },
    { rootMargin: "-50px 0px -40% 0px" },
  );
  for (const id of links.keys()) {
    const place = document.getElementById(id);
    if (place) eye.observe(place);
  }
}
