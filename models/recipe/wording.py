"""The words of the questions. {r} a thing such as "the red star", {s} a plural, {p} a place, {a} and {b} two things."""

COLOUR = ["What colour is {r}?", "What color is {r}?", "Which colour is {r}?", "What is the colour of {r}?",
          "Tell me the colour of {r}.", "Which color does {r} have?", "{r}: what colour?"]
SHAPE_OF = ["What shape is {r}?", "Which shape is {r}?", "What is the shape of {r}?", "What is {r}?", "What kind of shape is {r}?"]
SHAPE_COLOUR = ["What shape is {c}?", "Which shape is {c}?", "What is {c}?", "Which thing is {c}?"]
IT_COLOUR = ["What colour is it?", "What color is it?", "What colour is this shape?", "Which colour is this?",
             "What colour do you see?", "What colour is the object?"]
IT_SHAPE = ["What shape is it?", "What shape is this?", "Which shape is this?", "What shape do you see?",
            "What shape is in the picture?", "Name the shape."]
COUNT = ["How many {s} are there?", "How many {s} do you see?", "Count the {s}.", "How many {s} are in the picture?",
         "How many {s}?", "What is the number of {s}?", "How many {s} can you see?"]
WHERE = ["Where is {r}?", "Where is {r} in the picture?", "In which part of the picture is {r}?", "Where do you see {r}?",
         "What is the position of {r}?", "Where can I find {r}?"]
IS_AT = ["Is {r} {p}?", "Can you see {r} {p}?"]
EXISTS = ["Is there {x}?", "Is there {x} in the picture?", "Do you see {x}?", "Can you see {x}?", "Does the picture show {x}?"]
RELATION = {"left": ["Is {a} left of {b}?", "Is {a} to the left of {b}?"], "right": ["Is {a} right of {b}?", "Is {a} to the right of {b}?"],
            "above": ["Is {a} above {b}?", "Is {a} higher than {b}?"], "below": ["Is {a} below {b}?", "Is {a} under {b}?"]}
WHAT_IS = {"left": ["What is left of {b}?", "What is to the left of {b}?"], "right": ["What is right of {b}?", "What is to the right of {b}?"],
           "above": ["What is above {b}?"], "below": ["What is below {b}?", "What is under {b}?"]}
SIZE = ["How big is {r}?", "How large is {r}?", "What size is {r}?", "What is the size of {r}?"]
BIGGER = ["Is {a} bigger than {b}?", "Is {a} larger than {b}?"]
SMALLER = ["Is {a} smaller than {b}?"]
WHICH_BIGGER = ["Which is bigger, {a} or {b}?", "What is larger, {a} or {b}?"]
DIRECTION = ["Which way does {r} point?", "Where does {r} point?", "In which direction does {r} point?"]
NUMBER = ["What number is this?", "Which number do you see?", "What number is shown?", "What is the number?", "Read the number.",
          "What number is in the picture?", "Which number is it?", "What number does it show?"]
NUMBER_IS = ["Is the number {n}?", "Does it say {n}?", "Is this {n}?"]
WORD = ["What does it say?", "What is the word?", "Read the text.", "What word is this?", "Which word do you see?",
        "What is written here?", "Read the word.", "What does the text say?"]
GAUGE = ["What does the gauge show?", "What is the reading?", "What value does the gauge show?", "Read the gauge.",
         "What number does the needle point to?", "What does the dial show?", "Where is the needle?"]
TALLEST = ["Which bar is the tallest?", "What colour is the tallest bar?", "Which bar is highest?", "Which colour has the longest bar?"]
SHORTEST = ["Which bar is the shortest?", "What colour is the shortest bar?", "Which bar is lowest?", "Which bar is the smallest?"]
TALLER = ["Is the {a} bar taller than the {b} bar?", "Is the {a} bar higher than the {b} one?"]
CAPTION = ["Describe the picture.", "What is in the picture?", "What do you see?", "Describe this image.", "What is this?",
           "What is in this image?", "Tell me what you see.", "What does the picture show?", "Caption this."]
PLACE = {"top left": ["in the top left", "in the top left corner"], "top": ["at the top"], "top right": ["in the top right", "in the top right corner"],
         "left": ["on the left"], "middle": ["in the middle", "in the centre"], "right": ["on the right"],
         "bottom left": ["in the bottom left", "in the bottom left corner"], "bottom": ["at the bottom"],
         "bottom right": ["in the bottom right", "in the bottom right corner"]}
SIZE_WORDS = {"small": ["small", "little"], "medium": ["medium"], "large": ["large", "big"]}
CHAT = [("Who are you?", "a very small model that looks at pictures"), ("What can you do?", "I answer questions about pictures"),
        ("Hello", "hello, ask me about the picture"), ("Hi", "hello, ask me about the picture"),
        ("What is your name?", "mote's eye"), ("Thanks", "you are welcome"), ("Thank you", "you are welcome"),
        ("Help", "ask me about shapes, colours, numbers or words"), ("How are you?", "well, ask me about the picture")]
BLIND = "I see no picture"
