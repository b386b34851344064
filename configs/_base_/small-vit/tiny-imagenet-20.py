# A small vision transformer from scratch on tiny-imagenet-20 (20 classes, 64x64): what all methods share when they are
# compared. It classifies by its class token; the first stage of each method trains that.
_base_ = [
    '../models/small-vit_64.py',
    '../datasets/tiny-imagenet-20.py',
    '../pipelines/tiny-imagenet-20_64.py',
    '../schedules/small-vit.py',
]
model = dict(
    head=dict(type='mmwsol.ClsTokenHead', num_classes=20, in_channels=128),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
