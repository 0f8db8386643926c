"""Does the order of intermediate-task fine-tuning change multilingual alignment?"""
